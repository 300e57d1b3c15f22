"""Picture sets of an evaluation: folders of ours, published caption files, archives; where their pictures lie."""
