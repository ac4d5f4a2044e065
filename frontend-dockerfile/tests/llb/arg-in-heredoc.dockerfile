FROM busybox
ARG X=1
RUN <<EOF
echo $X
EOF
COPY <<EOF /f
$X "quoted" '$X'
EOF
