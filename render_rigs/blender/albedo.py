# SPDX-License-Identifier: GPL-3.0-or-later
"""The albedo pass: every material writes its own colour, without light, to one shader output.

That is what a viewport in flat shading shows. Cycles' and EEVEE's own colour passes split it by
kind of reflection (a metal has no diffuse colour), so an AOV carries it whole.
"""

import bpy

from render_rigs.blender.passes import ALBEDO

COLOR_INPUTS = ("Base Color", "Color")
PLAIN = (0.8, 0.8, 0.8, 1.0)
"""Blender's own grey for a surface without a material."""


def write_albedo(nodes, links, source) -> None:
    """Let a material's node tree write ``source`` (a socket, or a colour RGBA) as its albedo."""
    output = nodes.new("ShaderNodeOutputAOV")
    output.aov_name = ALBEDO
    if isinstance(source, bpy.types.NodeSocket):
        links.new(source, output.inputs["Color"])
    else:
        output.inputs["Color"].default_value = source


def complete(things) -> None:
    """Give the user's own objects an albedo too: the colour that goes into each one's shader."""
    for thing in things:
        if thing.type != "MESH":
            continue
        if not any(slot.material for slot in thing.material_slots):
            thing.data.materials.clear()
            thing.data.materials.append(_plain())
        for slot in thing.material_slots:
            if slot.material is not None:
                _complete_material(slot.material)


def _plain():
    found = bpy.data.materials.get("syncam plain")
    if found is None:
        found = bpy.data.materials.new("syncam plain")
        found.diffuse_color = PLAIN
        if bpy.app.version < (5, 0, 0):
            found.use_nodes = True
    return found


def _complete_material(material) -> None:
    tree = material.node_tree
    if tree is None:  # Blender 4 shows such a material in its viewport colour
        color = tuple(material.diffuse_color)
        material.use_nodes = True
        tree = material.node_tree
        for node in tree.nodes:
            if node.type == "BSDF_PRINCIPLED":
                node.inputs["Base Color"].default_value = color
    if any(node.type == "OUTPUT_AOV" and node.aov_name == ALBEDO for node in tree.nodes):
        return
    write_albedo(tree.nodes, tree.links, _color_of(tree) or tuple(material.diffuse_color))


def _color_of(tree):
    """What feeds the colour of the first shader behind the output: a socket, RGBA, or None."""
    ends = [n for n in tree.nodes if n.type == "OUTPUT_MATERIAL" and n.is_active_output]
    waiting = [link.from_node for end in ends for link in end.inputs["Surface"].links]
    seen = set()
    while waiting:
        node = waiting.pop(0)
        if node in seen:
            continue
        seen.add(node)
        for name in COLOR_INPUTS:
            if name in node.inputs:
                links = node.inputs[name].links
                return links[0].from_socket if links else tuple(node.inputs[name].default_value)
        # A mix of shaders, or a group: the first that has a colour stands for it.
        waiting += [link.from_node for one in node.inputs for link in one.links]
    return None
