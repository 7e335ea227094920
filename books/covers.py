"""Validates uploaded cover images and re-encodes them.

Decoding an upload and encoding it again keeps nothing but the pixels: no metadata, such as the position of a
camera, and no file that one program reads as an image and another as a script.
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

TOO_MANY_PIXELS = _("Covers are limited to 20 megapixels.")


def clean_cover(upload: File) -> ContentFile[bytes]:
    """Return the image in `upload` as WebP without metadata, upright, no side longer than MAX_SIDE pixels.

    Raises ValidationError when the upload is larger than MAX_BYTES or MAX_PIXELS, or when its content is not
    one of FORMATS. Both sizes are checked before the pixels are decoded.
    """
    if upload.size > MAX_BYTES:
        raise ValidationError(_("Covers are limited to 5 MB."))
    try:
        with Image.open(upload, formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise ValidationError(TOO_MANY_PIXELS)
            upright = ImageOps.exif_transpose(picture)
            upright.thumbnail((MAX_SIDE, MAX_SIDE))
            kept = BytesIO()
            # Only the first frame of an animation is saved.
            mode = "RGBA" if upright.has_transparency_data else "RGB"
            upright.convert(mode).save(kept, "WEBP", quality=82)
    except ValidationError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValidationError(TOO_MANY_PIXELS) from error
    except Exception as error:
        # Damaged files make the decoders raise all kinds of errors, TypeError and struct.error among them.
        raise ValidationError(_("Upload the cover as a JPEG, PNG or WebP image.")) from error
    # A random name: unique, and independent of the name of the uploaded file.
    return ContentFile(kept.getvalue(), name=f"{uuid.uuid4().hex}.webp")
