"""Content-addressed storage: digests, atomic writes, locks, the action cache and garbage collection."""

from regrow.store.atomic import copy_tree, new_directory, new_file, remove_tree, write_atomic
from regrow.store.digest import canonical_json, sha256_bytes, sha256_file, sums, tree_digest
from regrow.store.places import Beside, caches, default_root, folder_in
from regrow.store.reader import Condition, Entry, StoreReader, tree_size
from regrow.store.store import Garbage, Store, opened

__all__ = [
    "Beside",
    "Condition",
    "Entry",
    "Garbage",
    "Store",
    "StoreReader",
    "caches",
    "canonical_json",
    "copy_tree",
    "default_root",
    "folder_in",
    "new_directory",
    "new_file",
    "opened",
    "remove_tree",
    "sha256_bytes",
    "sha256_file",
    "sums",
    "tree_digest",
    "tree_size",
    "write_atomic",
]
