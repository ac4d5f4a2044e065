FROM busybox
ADD https://github.com/moby/buildkit.git /a
ADD https://github.com/moby/buildkit.git#v0.10.1 /b
ADD --keep-git-dir=true https://github.com/moby/buildkit.git#master:sub/dir /c
ADD --checksum=8e7c9a4d8e7c9a4d8e7c9a4d8e7c9a4d8e7c9a4d https://github.com/moby/buildkit.git?tag=v1 /e
