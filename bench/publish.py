"""Puts a file between two marks of a page:  publish.py PAGE MARK FILE"""
import sys


def main():
    page, mark, part = sys.argv[1:]
    begin, end = f"<!-- begin {mark} -->\n", f"<!-- end {mark} -->\n"
    with open(page, encoding="utf-8") as file:
        text = file.read()
    if text.count(begin) != 1 or text.count(end) != 1:
        sys.exit(f"publish.py: {page} has no place for {mark}")
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    with open(part, encoding="utf-8") as file:
        content = file.read().strip("\n")
    with open(page, "w", encoding="utf-8") as file:
        file.write(f"{before}{begin}\n{content}\n\n{end}{after}")


main()
