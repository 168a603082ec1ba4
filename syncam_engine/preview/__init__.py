# SPDX-License-Identifier: Apache-2.0
"""All that is special to the packaged preview model: its parts, training, scores and weights.

Nothing below imports this package; the general code finds it by name (`model/registry.py`,
`training/registry.py`).
"""
