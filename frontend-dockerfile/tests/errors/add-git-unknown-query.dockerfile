FROM scratch
ADD https://example.org/repo.git?nope=1 /a
