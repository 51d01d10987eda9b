package main

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"sort"
	"strings"

	core "k8s.io/api/core/v1"
	net "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// top is the chain that all forwarded packets pass, and what the names of all other chains and of the sets begin with.
const top = "GENSET-NP"

// world is what the API server says.
type world struct {
	node       string
	pods       []*core.Pod
	namespaces map[string]labels.Set
	policies   []*net.NetworkPolicy
}

// rules are what the packet filter gets: iptables-restore's input, and the sets that it names.
type rules struct {
	rules  string
	chains map[string]bool
	sets   map[string][]string
}

func (w *world) render() *rules {
	sort.Slice(w.pods, func(i, j int) bool { return key(w.pods[i]) < key(w.pods[j]) })
	sort.Slice(w.policies, func(i, j int) bool { return key(w.policies[i]) < key(w.policies[j]) })
	made := &rules{chains: map[string]bool{}, sets: map[string][]string{}}
	var names, jumps, bodies strings.Builder
	fmt.Fprintf(&names, ":%s - [0:0]\n", top)
	fmt.Fprintf(&jumps, "-A %s -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN\n", top)
	for _, pod := range w.pods {
		if pod.Spec.NodeName != w.node || !lives(pod) {
			continue
		}
		for _, direction := range []net.PolicyType{net.PolicyTypeEgress, net.PolicyTypeIngress} {
			chain := fmt.Sprintf("%s-%c-%s", top, direction[0], short(string(pod.UID)))
			body, isolated := w.body(made, chain, pod, direction)
			if !isolated {
				continue
			}
			side := "-s"
			if direction == net.PolicyTypeIngress {
				side = "-d"
			}
			made.chains[chain] = true
			fmt.Fprintf(&names, ":%s - [0:0]\n", chain)
			fmt.Fprintf(&jumps, "-A %s %s %s/32 -j %s\n", top, side, pod.Status.PodIP, chain)
			bodies.WriteString(body)
			fmt.Fprintf(&bodies, "-A %s -j DROP\n", chain)
		}
	}
	made.rules = "*mangle\n" + names.String() + jumps.String() + bodies.String() + "COMMIT\n"
	return made
}

// body returns the rules of a pod's chain in one direction: each RETURNs what a policy allows. Not isolated: no policy
// of that direction selects the pod, so everything is allowed.
func (w *world) body(made *rules, chain string, pod *core.Pod, direction net.PolicyType) (string, bool) {
	isolated := false
	var body strings.Builder
	for _, policy := range w.policies {
		if policy.Namespace != pod.Namespace || !speaksOf(policy, direction) || !matches(&policy.Spec.PodSelector, pod.Labels) {
			continue
		}
		isolated = true
		if direction == net.PolicyTypeEgress {
			for _, rule := range policy.Spec.Egress {
				numbers, named := parted(rule.Ports)
				if len(rule.Ports) > 0 && len(numbers) == 0 {
					w.allow(&body, made, chain, policy.Namespace, rule.To, nil, "dst", named)
					continue
				}
				w.allow(&body, made, chain, policy.Namespace, rule.To, ports(numbers, pod), "dst", named)
			}
			continue
		}
		for _, rule := range policy.Spec.Ingress {
			w.allow(&body, made, chain, policy.Namespace, rule.From, ports(rule.Ports, pod), "src", nil)
		}
	}
	return body.String(), isolated
}

func (w *world) allow(
	body *strings.Builder, made *rules, chain, namespace string,
	peers []net.NetworkPolicyPeer, matched []string, side string, named []net.NetworkPolicyPort,
) {
	if len(peers) == 0 {
		for _, match := range matched {
			fmt.Fprintf(body, "-A %s %s -j RETURN\n", chain, match)
		}
		return
	}
	for _, block := range peers { // each block has a set of its own: an exception of one is none of another
		if block.IPBlock != nil {
			w.returns(body, made, chain, halves(block.IPBlock), matched, side)
		}
	}
	selected := w.selected(namespace, peers)
	var addresses []string
	for _, pod := range selected {
		addresses = append(addresses, pod.Status.PodIP)
		// A named port of an egress rule is a port of the pod that is asked.
		if len(named) > 0 {
			w.returns(body, made, chain, []string{pod.Status.PodIP}, ports(named, pod), side)
		}
	}
	if len(addresses) > 0 {
		w.returns(body, made, chain, addresses, matched, side)
	}
}

func (w *world) returns(body *strings.Builder, made *rules, chain string, entries, matched []string, side string) {
	set := top + "-" + short(strings.Join(entries, "\n"))
	for _, match := range matched {
		made.sets[set] = entries
		fmt.Fprintf(body, "-A %s %s -m set --match-set %s %s -j RETURN\n", chain, match, set, side)
	}
}

// selected lists the pods that the peers name by labels.
func (w *world) selected(namespace string, peers []net.NetworkPolicyPeer) []*core.Pod {
	var found []*core.Pod
	for _, pod := range w.pods {
		for _, peer := range peers {
			if peer.IPBlock == nil && lives(pod) && w.selects(peer, namespace, pod) {
				found = append(found, pod)
				break
			}
		}
	}
	return found
}

func (w *world) selects(peer net.NetworkPolicyPeer, namespace string, pod *core.Pod) bool {
	if peer.NamespaceSelector == nil && pod.Namespace != namespace {
		return false
	}
	if peer.NamespaceSelector != nil && !matches(peer.NamespaceSelector, w.namespaces[pod.Namespace]) {
		return false
	}
	return peer.PodSelector == nil || matches(peer.PodSelector, pod.Labels)
}

// parted tells ports that are given by number, or not at all, from those that are given by name.
func parted(all []net.NetworkPolicyPort) (numbers, named []net.NetworkPolicyPort) {
	for _, port := range all {
		if port.Port != nil && port.Port.Type == intstr.String {
			named = append(named, port)
		} else {
			numbers = append(numbers, port)
		}
	}
	return numbers, named
}

// ports lists the matches of a rule's ports; names are looked up among the pod's own. None: nothing matches.
func ports(wanted []net.NetworkPolicyPort, pod *core.Pod) []string {
	if len(wanted) == 0 {
		return []string{""}
	}
	var found []string
	for _, port := range wanted {
		protocol := "tcp"
		if port.Protocol != nil {
			protocol = strings.ToLower(string(*port.Protocol))
		}
		switch {
		case port.Port == nil:
			found = append(found, "-p "+protocol)
		case port.Port.Type == intstr.Int && port.EndPort != nil:
			found = append(found, fmt.Sprintf("-p %s --dport %d:%d", protocol, port.Port.IntVal, *port.EndPort))
		case port.Port.Type == intstr.Int:
			found = append(found, fmt.Sprintf("-p %s --dport %d", protocol, port.Port.IntVal))
		default:
			found = append(found, byName(port.Port.StrVal, protocol, pod)...)
		}
	}
	return found
}

func byName(name, protocol string, pod *core.Pod) []string {
	var found []string
	for _, container := range append(append([]core.Container{}, pod.Spec.InitContainers...), pod.Spec.Containers...) {
		for _, port := range container.Ports {
			if port.Name == name && strings.EqualFold(string(port.Protocol), protocol) {
				found = append(found, fmt.Sprintf("-p %s --dport %d", protocol, port.ContainerPort))
			}
		}
	}
	return found
}

// halves lists a block's networks and its exceptions as a set of type hash:net takes them: that knows no /0.
func halves(block *net.IPBlock) []string {
	entries := nets(block.CIDR, "")
	for _, except := range block.Except {
		entries = append(entries, nets(except, " nomatch")...)
	}
	return entries
}

func nets(cidr, suffix string) []string {
	if strings.Contains(cidr, ":") {
		return nil // no pod here has an address of IPv6
	}
	if cidr == "0.0.0.0/0" {
		return []string{"0.0.0.0/1" + suffix, "128.0.0.0/1" + suffix}
	}
	return []string{cidr + suffix}
}

func lives(pod *core.Pod) bool {
	over := pod.Status.Phase == core.PodSucceeded || pod.Status.Phase == core.PodFailed
	return pod.Status.PodIP != "" && !pod.Spec.HostNetwork && !over
}

func speaksOf(policy *net.NetworkPolicy, direction net.PolicyType) bool {
	for _, spoken := range policy.Spec.PolicyTypes {
		if spoken == direction {
			return true
		}
	}
	return false
}

func matches(selector *meta.LabelSelector, of map[string]string) bool {
	parsed, err := meta.LabelSelectorAsSelector(selector)
	return err == nil && parsed.Matches(labels.Set(of))
}

func key(object meta.Object) string { return object.GetNamespace() + "/" + object.GetName() }

func short(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base32.StdEncoding.EncodeToString(sum[:])[:12]
}
