// Writes the objects of objects.yaml as an API server sends them in protobuf: KIND-list.pb is the body of a list
// (resourceVersion 200, continue token "more"), KIND-watch.pb that of a watch (each object added, then each deleted, then
// a bookmark at 300 and a status 410).
//
//	mkdir make && cp make.go objects.yaml make && cd make
//	go mod init make && go get k8s.io/api@v0.34.4 k8s.io/apimachinery@v0.34.4 && go mod tidy && go run make.go && cp *.pb ..
package main

import (
	"bytes"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/watch"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	scheme := runtime.NewScheme()
	must(corev1.AddToScheme(scheme))
	must(discoveryv1.AddToScheme(scheme))
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	codecs := serializer.NewCodecFactory(scheme)
	meta := metav1.ListMeta{ResourceVersion: "200", Continue: "more"}
	services := &corev1.ServiceList{ListMeta: meta}
	slices := &discoveryv1.EndpointSliceList{ListMeta: meta}
	namespaces := &corev1.NamespaceList{ListMeta: meta}
	pods := &corev1.PodList{ListMeta: meta}
	all := map[string][]runtime.Object{}
	text, err := os.ReadFile("objects.yaml")
	must(err)
	for _, document := range strings.Split(string(text), "\n---\n") {
		object, _, err := codecs.UniversalDeserializer().Decode([]byte(document), nil, nil)
		must(err)
		switch one := object.(type) {
		case *corev1.Service:
			services.Items = append(services.Items, *one)
			all["service"] = append(all["service"], one)
		case *discoveryv1.EndpointSlice:
			slices.Items = append(slices.Items, *one)
			all["slice"] = append(all["slice"], one)
		case *corev1.Namespace:
			namespaces.Items = append(namespaces.Items, *one)
			all["namespace"] = append(all["namespace"], one)
		case *corev1.Pod:
			pods.Items = append(pods.Items, *one)
			all["pod"] = append(all["pod"], one)
		}
	}
	plain := protobuf.NewSerializer(scheme, scheme)
	raw := protobuf.NewRawSerializer(scheme, scheme)
	bookmarks := map[string]runtime.Object{
		"service":   &corev1.Service{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "300"}},
		"slice":     &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "300"}},
		"namespace": &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "300"}},
		"pod":       &corev1.Pod{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "300"}},
	}
	for kind, list := range map[string]runtime.Object{"service": services, "slice": slices, "namespace": namespaces, "pod": pods} {
		var body bytes.Buffer
		encoder := codecs.EncoderForVersion(plain, versionOf(kind))
		must(encoder.Encode(list, &body))
		must(os.WriteFile(kind+"-list.pb", body.Bytes(), 0o644))

		var stream bytes.Buffer
		frames := protobuf.LengthDelimitedFramer.NewFrameWriter(&stream)
		send := func(event watch.EventType, object runtime.Object) {
			var inner, outer bytes.Buffer
			must(encoder.Encode(object, &inner))
			must(raw.Encode(&metav1.WatchEvent{Type: string(event), Object: runtime.RawExtension{Raw: inner.Bytes()}}, &outer))
			_, err := frames.Write(outer.Bytes())
			must(err)
		}
		for _, event := range []watch.EventType{watch.Added, watch.Deleted} {
			for _, object := range all[kind] {
				send(event, object)
			}
		}
		send(watch.Bookmark, bookmarks[kind])
		send(watch.Error, &metav1.Status{Status: "Failure", Code: 410, Reason: metav1.StatusReasonExpired, Message: "too old resource version: 1 (2)"})
		must(os.WriteFile(kind+"-watch.pb", stream.Bytes(), 0o644))
	}
}

func versionOf(kind string) schema.GroupVersion {
	if kind == "slice" {
		return discoveryv1.SchemeGroupVersion
	}
	return corev1.SchemeGroupVersion
}
