FROM alpine
ADD --checksum=md5:0123 https://example.com/a /
ADD --checksum=0123 https://example.com/a /
ADD --checksum=sha256:0123 https://example.com/a /
ADD --checksum=sha256:0123 local /
ADD --checksum=sha256:0123 https://example.com/a https://example.com/b /
