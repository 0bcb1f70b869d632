"""One file a method; methods never import each other."""
