# Every form of a git address, and how the flags of ADD meet its query.
FROM scratch
ADD https://example.org/repo.git /a
ADD http://u:p@example.org:8080/repo.git#main:sub/../dir /b/
ADD git://example.org/repo?tag=v1&subdir=/s /c
ADD ssh://git@example.org:22/~/repo?branch=b /d
ADD git@example.org:team/repo.git?ref=v1#v1 /e
ADD --keep-git-dir --checksum=abc https://example.org/repo.git?keep-git-dir=1&checksum=abc /f
ADD https://example.org/repo.git?submodules=0&mtime=commit&fetch-by-commit&commit=def#x /g
ADD --chown=1:2 --chmod=640 --exclude=*.md --link https://example.org/repo.git https://example.org/other.git /h/
