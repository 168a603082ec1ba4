# SPDX-License-Identifier: Apache-2.0
"""The plates' one material: unlit, the media texture as emissive colour, a crop by two parameters.

A texture sample's type must match its texture: a MediaTexture with the new-style output samples as
Color, one without as External. The default texture is made with the new style first, then assigned.
"""

from __future__ import annotations

import unreal

from syncam_engine.link.errors import SynCamError

from .assets import AssetMaker

FOLDER = "/Game/SynCam"
TEXTURE_PARAMETER = "MediaTexture"
SCALE_PARAMETER, OFFSET_PARAMETER = "PlateScale", "PlateOffset"


def plate_material(maker: AssetMaker) -> unreal.Material:
    """Return the master material, made on first use."""
    path = f"{FOLDER}/M_SynCam_Plate"
    if maker.exists(path):
        return maker.load(path, unreal.Material)
    texture = maker.get_or_make(
        f"{FOLDER}/MT_SynCam_Default", unreal.MediaTexture, unreal.MediaTextureFactoryNew()
    )
    configure_texture(texture, None)
    material = maker.get_or_make(path, unreal.Material, unreal.MaterialFactoryNew())
    material.set_editor_property("shading_model", unreal.MaterialShadingModel.MSM_UNLIT)
    material.set_editor_property("blend_mode", unreal.BlendMode.BLEND_OPAQUE)
    material.set_editor_property("two_sided", True)
    sample = _build_graph(material, texture)
    library = unreal.MaterialEditingLibrary
    if not library.connect_material_property(
        sample, "RGB", unreal.MaterialProperty.MP_EMISSIVE_COLOR
    ):
        raise SynCamError("unreal.material", "The plates' material could not be built.")
    library.recompile_material(material)
    maker.save(texture)
    maker.save(material)
    return material


def _build_graph(
    material: unreal.Material, texture: unreal.MediaTexture
) -> unreal.MaterialExpression:
    """Lay out UV * PlateScale + PlateOffset -> texture sample; return the sample."""
    library = unreal.MaterialEditingLibrary

    def node(kind: type, x: int, y: int, **properties: object) -> unreal.MaterialExpression:
        made = library.create_material_expression(material, kind, x, y)
        for name, value in properties.items():
            made.set_editor_property(name, value)
        return made

    def two_numbers(name: str, value: float, y: int) -> unreal.MaterialExpression:
        default = unreal.LinearColor(value, value, 0.0, 0.0)
        vector = node(
            unreal.MaterialExpressionVectorParameter,
            -1100,
            y,
            parameter_name=name,
            default_value=default,
        )
        mask = node(
            unreal.MaterialExpressionComponentMask, -850, y, r=True, g=True, b=False, a=False
        )
        library.connect_material_expressions(vector, "", mask, "")
        return mask

    uv = node(unreal.MaterialExpressionTextureCoordinate, -850, -200)
    scaled = node(unreal.MaterialExpressionMultiply, -600, -100)
    moved = node(unreal.MaterialExpressionAdd, -450, 0)
    library.connect_material_expressions(uv, "", scaled, "A")
    library.connect_material_expressions(two_numbers(SCALE_PARAMETER, 1.0, 0), "", scaled, "B")
    library.connect_material_expressions(scaled, "", moved, "A")
    library.connect_material_expressions(two_numbers(OFFSET_PARAMETER, 0.0, 250), "", moved, "B")
    sample = node(
        unreal.MaterialExpressionTextureSampleParameter2D,
        -250,
        0,
        parameter_name=TEXTURE_PARAMETER,
        texture=texture,
        sampler_type=sampler_of(texture),
    )
    library.connect_material_expressions(moved, "", sample, "UVs")
    return sample


def configure_texture(texture: unreal.MediaTexture, player: unreal.MediaPlayer | None) -> None:
    """Set a media texture up in the order that its shader type depends on; sRGB, clamped."""
    if player is not None:
        texture.set_media_player(player)
    texture.set_editor_property("new_style_output", True)
    texture.set_editor_property("srgb", True)
    texture.set_editor_property("address_x", unreal.TextureAddress.TA_CLAMP)
    texture.set_editor_property("address_y", unreal.TextureAddress.TA_CLAMP)
    texture.update_resource()


def sampler_of(texture: unreal.MediaTexture) -> unreal.MaterialSamplerType:
    """Return the sampler type that this media texture wants."""
    coloured = texture.get_editor_property("new_style_output") or texture.get_editor_property(
        "enable_gen_mips"
    )
    types = unreal.MaterialSamplerType
    return types.SAMPLERTYPE_COLOR if coloured else types.SAMPLERTYPE_EXTERNAL


def plate_instance(
    maker: AssetMaker, path: str, texture: unreal.MediaTexture, crop: tuple[float, ...]
) -> unreal.MaterialInstanceConstant:
    """Return the material instance that shows `crop` (u0, v0, u1, v1) of a media texture."""
    library = unreal.MaterialEditingLibrary
    instance = maker.get_or_make(
        path, unreal.MaterialInstanceConstant, unreal.MaterialInstanceConstantFactoryNew()
    )
    library.set_material_instance_parent(instance, plate_material(maker))
    library.set_material_instance_texture_parameter_value(instance, TEXTURE_PARAMETER, texture)
    u0, v0, u1, v1 = crop
    for name, (x, y) in ((SCALE_PARAMETER, (u1 - u0, v1 - v0)), (OFFSET_PARAMETER, (u0, v0))):
        colour = unreal.LinearColor(x, y, 0.0, 0.0)
        library.set_material_instance_vector_parameter_value(instance, name, colour)
    library.update_material_instance(instance)
    # The setter's own answer has not been reliable over versions: look.
    shown = library.get_material_instance_texture_parameter_value(instance, TEXTURE_PARAMETER)
    if shown != texture:
        raise SynCamError(
            "unreal.material",
            f"The material '{path}' did not take the texture; its parent lacks the parameter "
            f"'{TEXTURE_PARAMETER}'.",
            fix=f"Delete {FOLDER}/M_SynCam_Plate and apply again",
        )
    return instance
