# SPDX-License-Identifier: Apache-2.0
"""SynCam inside the Unreal editor. `plugin.py` starts it; only files that say so import `unreal`."""
