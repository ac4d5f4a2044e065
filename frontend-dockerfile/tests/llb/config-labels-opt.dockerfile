#! label opt=1
#! label a=over
FROM busybox
LABEL a=file b=2
