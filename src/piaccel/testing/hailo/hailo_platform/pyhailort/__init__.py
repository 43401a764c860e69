"""The binding: errors, formats, devices and inference."""
