"""Content-addressed storage: digests, atomic writes, locks, the action cache and garbage collection."""

from regrow.store.atomic import copy_tree, new_directory, remove_tree, write_atomic
from regrow.store.digest import canonical_json, sha256_bytes, sha256_file, sums, tree_digest
from regrow.store.store import Condition, Entry, Garbage, Store, caches, default_root, existing, folder_in

__all__ = [
    "Condition",
    "Entry",
    "Garbage",
    "Store",
    "caches",
    "canonical_json",
    "copy_tree",
    "default_root",
    "existing",
    "folder_in",
    "new_directory",
    "remove_tree",
    "sha256_bytes",
    "sha256_file",
    "sums",
    "tree_digest",
    "write_atomic",
]
