FROM busybox
ADD a.tar.gz /x/
ADD --unpack=false b.tar /y/
ADD --unpack c.txt /z
ADD --chown=1:2 --chmod=0700 d /d
