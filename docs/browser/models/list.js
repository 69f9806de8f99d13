window.STYLES = [{"name": "starry_night-fast", "title": "The Starry Night"}, {"name": "great_wave-fast", "title": "The Great Wave off Kanagawa"}];
