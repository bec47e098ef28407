"""Pictures of what the rule kept and dropped, for the eyes of a pathologist.

`write_previews` draws every slide of a cohort, `draw_preview` one; `picture_layout` holds what
other pictures of slides need, too.
"""

from feature_extraction.preview.previews import (
    PreviewOutcome,
    preview_path,
    save_preview,
    write_previews,
)
from feature_extraction.preview.slide_picture import draw_preview

__all__ = ["PreviewOutcome", "draw_preview", "preview_path", "save_preview", "write_previews"]
