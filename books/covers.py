"""Cover images: what is accepted, and how it is kept.

An upload is decoded and written anew, so that nothing but the picture itself is kept: no metadata
such as a camera's position, no file that is a picture to one program and a script to another.
"""

from __future__ import annotations

import uuid
from io import BytesIO

from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile, File
from django.utils.translation import gettext_lazy as _
from PIL import Image, ImageOps

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_BYTES = 5 * 1024 * 1024
MAX_PIXELS = 20_000_000
# Enough for a full-page view on a dense screen.
MAX_SIDE = 1600

TOO_MANY_PIXELS = _("A cover may have at most 20 megapixels.")


def clean_cover(upload: File) -> ContentFile[bytes]:
    """The picture in `upload`, upright, at most MAX_SIDE pixels long, as WebP without metadata.

    Raises ValidationError when it is over MAX_BYTES or MAX_PIXELS, or not one of FORMATS by its
    content. Size and pixels are checked before anything is decoded.
    """
    if upload.size > MAX_BYTES:
        raise ValidationError(_("A cover may have at most 5 MB."))
    try:
        with Image.open(upload, formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise ValidationError(TOO_MANY_PIXELS)
            upright = ImageOps.exif_transpose(picture)
            upright.thumbnail((MAX_SIDE, MAX_SIDE))
            kept = BytesIO()
            # Of an animation, the first picture.
            mode = "RGBA" if upright.has_transparency_data else "RGB"
            upright.convert(mode).save(kept, "WEBP", quality=82)
    except ValidationError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValidationError(TOO_MANY_PIXELS) from error
    except Exception as error:
        # Damaged files make the decoders raise anything, TypeError and struct.error too.
        raise ValidationError(_("A cover is a JPEG, PNG or WebP picture; this file is not.")) from error
    # A name that tells nothing of the uploader's file and never repeats.
    return ContentFile(kept.getvalue(), name=f"{uuid.uuid4().hex}.webp")
