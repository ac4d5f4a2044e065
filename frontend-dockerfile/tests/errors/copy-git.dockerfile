FROM scratch
COPY https://example.org/repo.git /a
