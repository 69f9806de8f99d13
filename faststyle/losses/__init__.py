"""What a stylization is judged by: VGG features, style statistics, objectives."""
