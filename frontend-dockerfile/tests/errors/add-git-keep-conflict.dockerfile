FROM scratch
ADD --keep-git-dir=false https://example.org/repo.git?keep-git-dir=true /a
