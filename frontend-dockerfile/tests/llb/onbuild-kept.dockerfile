FROM busybox
ONBUILD RUN echo $x
ONBUILD COPY <<E /f
body
E
ONBUILD  RUN   a \
  b
ONBUILD run <<-"X" <<Y
	a
	X
b
Y
