# SPDX-License-Identifier: Apache-2.0
"""Training sets rendered: runs of Blender's workers, spread or alone, and in unreal/ the editor's.

No renderer runs in this process: what they draw comes back as files, what they say as JSON.
"""
