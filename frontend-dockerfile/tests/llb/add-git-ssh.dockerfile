FROM busybox
ADD git@github.com:moby/buildkit.git /d
ADD ssh://git@github.com/moby/buildkit.git#v0.1:sub /e
