FROM busybox
ARG X=val
COPY <<one <<"two" plain /dst/
first $X
one
second $X
two
COPY <<-tab /t
	indented $X
	tab
COPY --chown=1:2 --chmod=700 <<script.sh /bin/run
#!/bin/sh
echo \$X "$X"
script.sh
ADD <<f /add/
f2
f
