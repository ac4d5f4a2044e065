FROM busybox
ADD https://example.com/a/file.txt /x/
ADD http://example.com /y/
ADD --checksum=sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 https://example.com/f /f
ADD --unpack=true --chmod=0644 --chown=5:6 https://example.com/t.tar.gz?x=1 /t/
ADD https://example.com/a https://example.com/b local /z/
