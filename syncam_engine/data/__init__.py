# SPDX-License-Identifier: Apache-2.0
"""Training data: every source becomes scenes (cameras x pictures), every scene becomes samples."""
