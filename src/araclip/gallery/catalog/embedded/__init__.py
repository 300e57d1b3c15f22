"""Pictures that were embedded elsewhere, by the thousand: rows for the catalogue without decoding anything."""
