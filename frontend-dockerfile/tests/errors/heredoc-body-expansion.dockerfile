FROM alpine
COPY <<EOF /etc/app
root=${ROOT
EOF
