# SPDX-License-Identifier: Apache-2.0
"""SynCam: synchronised generated video for every camera of a 3-D scene."""

__version__ = "0.1.0"
