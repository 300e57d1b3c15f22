"""The documentation's site: `make docs` builds it into build/docs with Sphinx and furo. Every warning is an error.

The pages are the Markdown files of this folder, which read well on a code host too. What is added here is in site/: the
Python reference's completeness, the keys of recipes, tutorials written as scripts, Arabic pages and Arabic search.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "site"), str(HERE.parent / "src")]

from araclip import __version__  # noqa: E402

project = "AraCLIP"
author = "The developers of AraCLIP"
version = release = __version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "arabic_pages",
    "arabic_search",
    "command_options",
    "docstring_trees",
    "public_names",
    "recipe_keys",
    "root_pages",
    "tutorial_scripts",
]
exclude_patterns = ["conf.py", "site", "images"]
nitpicky = False  # annotations name types of libraries that have no inventory here: the build asks no other host

myst_enable_extensions = ["attrs_inline", "colon_fence"]
myst_heading_anchors = 4  # links such as commands.md#araclip-serve, as on a code host; a missing one is a warning
myst_links_external_new_tab = False

autodoc_default_options = {"members": True, "member-order": "bysource", "show-inheritance": False}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
default_role = "code"  # `name` in docstrings is code, as in Markdown
napoleon_numpy_docstring = False
napoleon_custom_sections = ["Yields"]
add_module_names = False

html_theme = "furo"
html_favicon = "../src/araclip/server/web/assets/mark.svg"
html_title = f"AraCLIP {version}"
html_static_path = ["site/static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_use_index = True
html_domain_indices = False
html_search_language = "en+ar"
html_theme_options = {"top_of_page_buttons": [], "navigation_with_keys": False}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
