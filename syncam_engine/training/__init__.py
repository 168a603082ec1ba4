# SPDX-License-Identifier: Apache-2.0
"""The trainer: one loop, two tasks (the multi-view transformer; the preview's autoencoder)."""
