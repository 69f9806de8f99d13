"""Inference backends: PyTorch, torch.compile, OpenVINO and ONNX Runtime."""
