"""The operator against a real kube-apiserver and etcd. No kubelet: pods do not run unless a FakeKubelet says so."""
