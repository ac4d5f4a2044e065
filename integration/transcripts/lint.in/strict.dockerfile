# check=error=true
FROM busybox
MAINTAINER team
