"""OpenVINO up to 2022.3 has nothing here: the API is in ``openvino.runtime``."""

__path__ = [*__path__]
