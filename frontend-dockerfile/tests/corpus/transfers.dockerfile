#! ignore *.md
#! ignore !README.md
FROM alpine
WORKDIR /app
ADD archive.tar.gz .
ADD --unpack=false archive.tar.gz raw/
ADD --checksum=sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa https://example.org/a/file.bin /dl/
ADD https://example.org /
ADD --keep-git-dir=true https://example.org/repo.git#v1:sub /git
COPY --link --chown=1000:1000 a b /linked/
COPY --parents x/./y/*.txt z/w /parents/
COPY --exclude=*.tmp --exclude=!keep.tmp . ..
COPY ["with space", "/dest dir/."]
COPY ../../etc /x
