FROM alpine
COPY config <<EOF
a=1
EOF
