FROM scratch
ADD --checksum=abc https://example.org/repo.git?checksum=def /a
