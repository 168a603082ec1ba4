# SPDX-License-Identifier: Apache-2.0
"""SynCam inside the Unreal editor; `plugin.py` starts it."""
