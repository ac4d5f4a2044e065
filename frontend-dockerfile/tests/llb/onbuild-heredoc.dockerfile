FROM busybox AS base
ONBUILD COPY <<EOF /f
text
EOF
ONBUILD RUN <<EOF
echo hi
EOF
FROM base
