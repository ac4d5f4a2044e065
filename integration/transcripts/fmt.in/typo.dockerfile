FROM busybox
runn true
