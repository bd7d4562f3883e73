"""Feeds as they are found in the wild, written by hand after such: old forms, mixtures, and ill-formed ones."""

ATOM_10 = b"""<?xml version="1.0" encoding="utf-8"?>
<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="en-GB" xml:base="https://blog.example/">
 <title type="html">Notes &amp;amp; &lt;i&gt;queries&lt;/i&gt;</title><id>tag:blog.example,2003:3</id>
 <link rel="alternate" href="/"/><link rel="self" href="/atom.xml"/><link rel="hub" href="https://hub.example/"/>
 <author><name>Amber Badger</name><uri>/about</uri><email>amber@blog.example</email></author>
 <entry>
  <title type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml">Less <em>is</em> more</div></title>
  <link rel="enclosure" type="audio/mpeg" length="1337" href="/a.mp3"/>
  <link rel="alternate" type="text/html" href="2005/04/02/atom"/>
  <id>tag:blog.example,2003:3.2397</id><updated>2005-07-31T12:29:29Z</updated>
  <published>2003-12-13T08:29:29-04:00</published>
  <category term="xml"/><category term="feeds" label="Feeds"/>
  <content type="xhtml" xml:lang="de"><div xmlns="http://www.w3.org/1999/xhtml"><p>Erster <b>Satz</b>.</p>
   <p>Zweiter.</p></div></content>
 </entry>
</feed>"""

ATOM_03 = b"""<?xml version="1.0"?>
<feed version="0.3" xmlns="http://purl.org/atom/ns#"><title>Old</title><link rel="alternate" href="http://old.example/"/>
<entry><title mode="escaped" type="text/html">Was &lt;b&gt;bold&lt;/b&gt;</title>
<link rel="alternate" type="text/html" href="http://old.example/1"/><id>tag:old.example,2003:1</id>
<issued>2003-12-31T10:14:55</issued><modified>2004-01-01T00:00Z</modified>
<author><name>Dusty Otter</name><url>http://old.example/dusty</url></author>
<content type="text/plain">a &lt; b</content></entry></feed>"""

RSS_20 = b"""<?xml version="1.0"?><rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/"
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:sy="http://purl.org/rss/1.0/modules/syndication/"
 xmlns:atom="http://www.w3.org/2005/Atom">
<channel><title>News</title><link>https://news.example/</link><language>fr</language><ttl>60</ttl>
<atom:link href="https://news.example/rss" rel="self" type="application/rss+xml"/>
<sy:updatePeriod>hourly</sy:updatePeriod><sy:updateFrequency>1</sy:updateFrequency>
<item><title>Tom &amp;amp; Jerry</title><link>https://news.example/1</link><guid>https://news.example/?p=1</guid>
<dc:creator><![CDATA[Jolly Kite]]></dc:creator><category><![CDATA[Arts & Crafts]]></category>
<pubDate>Wed, 02 Oct 02 15:00:00 +0200</pubDate><description><![CDATA[<p>Short&nbsp;one</p>]]></description>
<content:encoded><![CDATA[<p>Long one <img src="x.png"></p>]]></content:encoded></item>
<item><title>Second</title><guid isPermaLink="true">https://news.example/2</guid>
<author>lawyer@boyer.example (Lunar Pebble)</author><pubDate>Tue, 1 Oct 2002 13:00:00 EST</pubDate></item>
</channel></rss>"""

RSS_10 = b"""<?xml version="1.0" encoding="ISO-8859-1"?>
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"
 xmlns:dc="http://purl.org/dc/elements/1.1/">
<channel rdf:about="http://rdf.example/"><title>Caf\xe9</title><link>http://rdf.example/</link></channel>
<item rdf:about="http://rdf.example/1"><title>Un caf\xe9</title><link>http://rdf.example/1</link>
<dc:date>2003-05-31</dc:date><dc:subject>boissons</dc:subject><dc:creator>Opal Quill</dc:creator></item>
</rdf:RDF>"""

RSS_091 = b"""<?xml version="1.0" encoding="us-ascii"?>
<!DOCTYPE rss PUBLIC "-//Netscape Communications//DTD RSS 0.91//EN" "http://my.netscape.com/publish/formats/rss-0.91.dtd">
<rss version="0.91"><channel><title>Ancient</title><link>http://ancient.example/</link><language>en</language>
<item><title>Only a title</title><link>http://ancient.example/a?b=1&c=2</link><description>It&rsquo;s &eacute;t\xe9.
</description></item></channel></rss>"""

RSS_090 = b"""<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://my.netscape.com/rdf/simple/0.9/">
<channel><title>Oldest</title><link>http://oldest.example/</link></channel>
<item><title>First</title><link>http://oldest.example/1</link></item></rdf:RDF>"""

PODCAST = b"""<rss version="2.0" xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd"><channel><title>Cast</title>
<itunes:author>Plain Finch</itunes:author><item><title>Episode 1</title><guid isPermaLink="false">ep-1</guid>
<enclosure url="https://cdn.example/1.mp3?a=1&amp;b=2" length="5650889" type="audio/mpeg"/>
<enclosure url="https://cdn.example/1.mp4" length="lots" type="video/mp4"/>
<itunes:summary>What was said.</itunes:summary><itunes:duration>1:02</itunes:duration></item></channel></rss>"""

FLICKR = b"""<?xml version="1.0" encoding="utf-8" standalone="yes"?>
<feed xmlns="http://www.w3.org/2005/Atom" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:flickr="urn:flickr:user" xmlns:media="http://search.yahoo.com/mrss/"><title>Uploads</title>
<entry><title>Heron</title><link rel="alternate" type="text/html" href="https://photos.example/p/1"/>
<id>tag:photos.example,2004:/photo/1</id><published>2016-08-20T07:00:00Z</published>
<updated>2016-08-20T07:00:00Z</updated><dc:date.Taken>2016-08-19T10:00:00-08:00</dc:date.Taken>
<content type="html">&lt;p&gt;&lt;a href=&quot;https://photos.example/u/2/&quot;&gt;Fern&lt;/a&gt; posted:
&lt;/p&gt;</content>
<author><name>Fern</name><uri>https://photos.example/u/2/</uri><flickr:nsid>2@N00</flickr:nsid></author>
<link rel="enclosure" type="image/jpeg" href="https://live.example/1_b.jpg"/>
<media:group><media:content url="https://live.example/1_h.jpg" medium="image"><media:title>A heron</media:title>
</media:content></media:group><category term="bird"/></entry></feed>"""

BITBUCKET = b"""<?xml version="1.0" encoding="utf-8"?><rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:atom="http://www.w3.org/2005/Atom"><channel><title>Recent changes</title>
<link>https://code.example/team/repo</link><item><title>Fix &lt;none&gt; in list&lt;T&gt;</title>
<link>https://code.example/team/repo/commits/abc</link><description>&lt;ul&gt;&lt;li&gt;one&lt;/li&gt;&lt;/ul&gt;</description>
<pubDate>Mon, 31 Feb 2020 25:61:00 GMT</pubDate><author>Kind Jetty &lt;kind@code.example&gt;</author>
<guid>commit:abc</guid></item></channel></rss>"""

# Neither a declaration nor an end, a prefix that was never declared, bare ampersands, a control character, no guid.
BOZO = b"""\n\n  <rss version=2.0><channel><title>R&D</title><item><title>AT&T & <b>co</b>\x0b</title>
<link>/relative?x=1&y=2</link><description>5 < 6 &nbsp; &unknown; &#0; &amp;lt;</description>
<media:thumbnail url="https://img.example/t.png"/><pubDate>yesterday</pubDate></item>
<item><description>no title, no link</description></item><item><title>cut"""

EVERY = {name: value for name, value in sorted(globals().items()) if name.isupper() and isinstance(value, bytes)}
