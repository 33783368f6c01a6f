"""The language of recipes: text, tables, graph, lock and the words of errors; which kinds there are it is told."""
