// Parses, changes and prints a document, always the same way.
#include <cstdio>
#include <string>

#include "tinyxml2.h"

int main() {
  std::string text = "<?xml version=\"1.0\"?><!-- note --><shop>";
  for (int i = 0; i < 40; ++i) {
    text += "<item id=\"" + std::to_string(i) + "\" price=\"" + std::to_string(i * 1.5) +
            "\">a &amp; b &#65; <![CDATA[<raw>]]></item>";
  }
  text += "</shop>";
  tinyxml2::XMLDocument document;
  if (document.Parse(text.c_str()) != tinyxml2::XML_SUCCESS) return 1;
  double sum = 0;
  tinyxml2::XMLElement* const shop = document.FirstChildElement("shop");
  for (auto* item = shop->FirstChildElement(); item != nullptr; item = item->NextSiblingElement()) {
    sum += item->DoubleAttribute("price") + item->IntAttribute("id");
  }
  shop->InsertNewChildElement("added")->SetAttribute("count", 3);
  shop->DeleteChild(shop->FirstChild());
  tinyxml2::XMLPrinter printer;
  document.Print(&printer);
  tinyxml2::XMLDocument broken;
  std::printf("%.1f, %d bytes, %s\n", sum, static_cast<int>(printer.CStrSize()),
              tinyxml2::XMLDocument::ErrorIDToName(broken.Parse("<a><b></a>")));
}
