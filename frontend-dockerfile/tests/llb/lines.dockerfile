# comment

FROM busybox

# doc
RUN one \
  && two

  COPY a \
# inner
  /b
RUN <<EOF
x
EOF
	WORKDIR /tabbed
