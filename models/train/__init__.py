"""Training of the demo pair of detectors: from rendered pictures to safetensors files."""
