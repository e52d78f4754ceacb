"""What each folder's CMakeLists.txt says that it links, beside what its files include.

An arrow is between folders, a folder being one that has a CMakeLists.txt (of proto/: each below it). Targets of others are known by the
word that rules.ARROWS has for their headers.
"""

import os
import re

import rules


KEYWORDS = {"SOURCES", "DEPENDS", "PRIVATE_DEPENDS", "INCLUDES", "DEFINES"}


def folder_of(tree, path):
    """Where the target of this file is declared."""
    if path.startswith("proto/"):
        return "/".join(path.split("/")[:2])
    folder = os.path.dirname(path)
    while folder and not tree.has(folder + "/CMakeLists.txt"):
        folder = os.path.dirname(folder)
    return folder


def declared(tree):
    """(folder, target, what it links) of each target of ours outside tests/."""
    for path in tree.of("CMakeLists.txt"):
        if path.startswith("tests/"):
            continue
        text = re.sub(r"#.*", "", tree.text(path))
        for name, arguments in re.findall(r"\bassent_(?:library|executable)\(\s*(\S+)([^()]*)\)", text):
            lists, key = {}, None
            for word in arguments.split():
                if word in KEYWORDS:
                    key = word
                else:
                    lists.setdefault(key, []).append(word)
            folder = os.path.dirname(path)
            if folder == "proto":
                folder += "/" + (os.path.dirname(lists["SOURCES"][0]) if "SOURCES" in lists else lists["INCLUDES"][0])
            yield folder, name, lists.get("DEPENDS", []) + lists.get("PRIVATE_DEPENDS", [])


def needed(tree, path, include):
    """The folders or words of which one has to be listed for what a file includes; none where nothing has to be linked."""
    name, quoted = include[1:-1], include[0] == '"'
    if re.match(r"assent/v\d+/.*\.grpc\.pb\.h$", name):
        return ["wire of gRPC"]
    if re.match(r"(assent/v\d+/|google/protobuf/).*\.h$", name):
        return ["wire", "wire of gRPC"]
    if quoted:
        return [folder_of(tree, name)] if tree.has(name) else []
    if tree.has("proto/vocabulary/" + name):
        return ["proto/vocabulary"]
    if tree.has(f"{rules.SDK_HEADERS}/{name}"):
        sdk = os.path.dirname(rules.SDK_HEADERS)
        adapter = os.path.join(sdk, name[len("assent/"):-len(".h")].removeprefix("outbox_"))
        return [sdk, adapter] + ([folder_of(tree, path)] if path.startswith(sdk) else [])  # INCLUDES names them there
    top = name.split("/")[0]
    if top in ("grpc", "grpcpp"):
        return ["grpc", "wire of gRPC"]
    return [top] if top in rules.PACKAGES else []


def faults(tree):
    targets = {name: folder for folder, name, _ in declared(tree)}
    listed, used, missing = {}, {}, {}
    for folder, name, links in declared(tree):
        for link in links:
            word = targets.get(link) or rules.TARGET_WORDS.get(link) or next(
                (word for word, pattern in rules.PACKAGES.items() if re.match(pattern, link)), None)
            if link not in rules.LINKED_FOR_ITSELF and name not in rules.MADE_OF_COPIES and word != folder:
                listed.setdefault(folder, {}).setdefault(word, link)
    for path in tree.of(".h", ".cc"):
        if path.startswith("tests/"):
            continue
        folder = folder_of(tree, path)
        if not folder:
            continue
        for number, line in tree.lines(path):
            match = re.match(r'\s*#\s*include\s*(<[^>]+>|"[^"]+")', line)
            words = needed(tree, path, match[1]) if match else []
            used.setdefault(folder, set()).update(words)
            if words and folder not in words and not any(word in listed.get(folder, {}) for word in words):
                missing.setdefault((folder, words[0]), f"{path}:{number}")
    for (folder, word), where in sorted(missing.items()):
        yield f"{folder}/CMakeLists.txt: lists no target of {word}, which {where} includes"
    for folder, words in sorted(listed.items()):
        for word, link in sorted(words.items()):
            if word not in used.get(folder, {}):
                yield f"{folder}/CMakeLists.txt: lists {link}, of which the folder includes nothing"
