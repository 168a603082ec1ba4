# SPDX-License-Identifier: Apache-2.0
"""Training rigs rendered by Unreal, without a screen: the engine's side of the two-step run.

Draws scenes, writes the command lines, collects the frames. What runs inside the editor is in
`ue_bridge/`; between them lie two JSON files, the plan and what the editor says it built.
"""
